Option Explicit

' Passes the descriptions of functions and arguments to Excel's function wizard. Excel may refuse them while no
' workbook is visible, for example at start-up; then the next activation of a workbook tries again.
Private WithEvents mExcel As Application

Private Sub Workbook_Open()
    Set mExcel = Application
    DescribeFunctions
End Sub

Private Sub mExcel_WorkbookActivate(ByVal Wb As Workbook)
    DescribeFunctions
End Sub

Private Sub DescribeFunctions()
    Dim wasSaved As Boolean
    wasSaved = Me.Saved
    On Error GoTo later
'{descriptions}
    Set mExcel = Nothing
later:
    Me.Saved = wasSaved
End Sub

Private Sub Describe(ByVal functionName As String, ByVal text As String, ByVal arguments As Variant)
    Application.MacroOptions Macro:="'" & Me.Name & "'!" & functionName, Description:=text, _
        Category:="{category}", ArgumentDescriptions:=arguments
End Sub
